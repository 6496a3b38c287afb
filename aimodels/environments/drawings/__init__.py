"""How environments look, as RGB pictures uint8 [H, W, 3]: a module a family, all over `canvas`."""
