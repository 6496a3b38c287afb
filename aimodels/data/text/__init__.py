"""Text: corpora, tokenizers, and the data sets made of both."""
