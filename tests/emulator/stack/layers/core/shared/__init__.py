NAME = "a layer of ours"
