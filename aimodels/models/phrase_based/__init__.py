"""Translation by phrases: alignment of words, table of phrases, search, weights."""
