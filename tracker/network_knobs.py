"""The tables of what decides a network of each family: its layers, their widths, norms, embeddings, initial weights."""

from __future__ import annotations

from collections.abc import Mapping

from tracker.knobs import Hyperparameter

ACTIVATIONS = ("sigmoid", "tanh", "relu", "leaky_relu", "gelu")
WEIGHT_INITS = (
    *("default", "uniform", "normal"),
    *("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal"),
)

MLP: Mapping[str, Hyperparameter] = {
    "hidden_layers": Hyperparameter("int", "number of hidden layers", 2, low=0, high=64),
    "units": Hyperparameter(
        "int", "width of every hidden layer, or one width per layer", 64, low=1, high=16384, per="hidden_layers"
    ),
    "activation": Hyperparameter("choice", "after every hidden layer", "relu", choices=ACTIVATIONS),
    "dropout": Hyperparameter(
        "float",
        "probability of dropping a hidden unit",
        low=0.0,
        below=1.0,
        neutral=0.0,
        tried=(0.0, 0.5),
        source="Srivastava et al. 2014, JMLR 15: hidden units are kept with probability 0.5 to 0.8",
    ),
    "batch_norm": Hyperparameter("bool", "normalise every hidden layer before its activation", neutral=False),
    "layer_norm": Hyperparameter(
        "bool",
        "normalise the hidden units of every row before their activation",
        when=("batch_norm", (False,)),
        neutral=False,
        since=5,
    ),
    "weight_init": Hyperparameter(
        "choice",
        "initialisation of weights; default: what torch.nn.Linear does",
        choices=WEIGHT_INITS,
        neutral="default",
    ),
}
SHAPED: Mapping[str, Hyperparameter] = {  # of the head that convolutional and recurrent networks have
    "head_units": Hyperparameter("int", "width of the hidden layer before the output; 0: none", 64, low=0, high=16384),
    "activation": Hyperparameter("choice", "after each block and the head's hidden layer", "relu", choices=ACTIVATIONS),
    "dropout": MLP["dropout"],
    "weight_init": Hyperparameter(
        "choice", "initialisation of weights; default: what torch's layers do", choices=WEIGHT_INITS, neutral="default"
    ),
}
CNN: Mapping[str, Hyperparameter] = {
    "blocks": Hyperparameter("int", "number of convolutional blocks", 2, low=1, high=32),
    "filters": Hyperparameter(
        "int", "filters of every block, or one number per block", 32, low=1, high=4096, per="blocks"
    ),
    "kernel_size": Hyperparameter("int", "side of each kernel", 3, low=1, high=255),
    "stride": Hyperparameter("int", "how far a kernel moves at a time", low=1, high=255, neutral=1),
    "padding": Hyperparameter(
        "choice",
        "same: zeros around, so that stride alone shrinks maps; valid: none",
        "same",
        choices=("same", "valid"),
    ),
    "pooling": Hyperparameter("choice", "what pools maps after a block", "max", choices=("none", "max", "average")),
    "pool_size": Hyperparameter("int", "side of a pool", 2, low=2, high=255, when=("pooling", ("max", "average"))),
    "batch_norm": Hyperparameter("bool", "normalise maps before their activation", neutral=False),
    "layer_norm": Hyperparameter(
        "bool",
        "normalise all maps of a row before their activation",
        when=("batch_norm", (False,)),
        neutral=False,
        since=5,
    ),
    "residual": Hyperparameter(
        "bool", "add the input of a block to its convolution", neutral=False, when=("padding", ("same",))
    ),
    "readout": Hyperparameter(
        "choice",
        "what the head reads: all of the last maps, or the mean of each",
        choices=("flatten", "average"),
        neutral="flatten",
    ),
    **SHAPED,
}
CNN_SIZES = ("blocks", "kernel_size", "stride", "padding", "pooling", "pool_size", "freeze")
RNN: Mapping[str, Hyperparameter] = {
    "cell": Hyperparameter("choice", "what remembers", "gru", choices=("lstm", "gru")),
    "layers": Hyperparameter("int", "recurrent layers", 1, low=1, high=16),
    "units": Hyperparameter("int", "width of every recurrent layer, per direction", 64, low=1, high=16384),
    "bidirectional": Hyperparameter("bool", "read sequences from both ends", neutral=False),
    "layer_norm": Hyperparameter("bool", "normalise what the head reads", neutral=False, since=5),
    "readout": Hyperparameter(
        "choice",
        "what the head reads: the last step, or the mean over all",
        choices=("last", "average"),
        neutral="last",
    ),
    **SHAPED,
}
TABULAR: Mapping[str, Hyperparameter] = {
    "blocks": Hyperparameter("int", "number of residual blocks", 2, low=0, high=64),
    "units": Hyperparameter("int", "width between blocks", 128, low=1, high=16384),
    "hidden_factor": Hyperparameter("float", "how much wider a block is inside", 2.0, above=0.0, high=16.0),
    "number_embedding": Hyperparameter(
        "choice",
        "what stands beside each number: its place between quantiles, or waves of learned frequencies",
        choices=("none", "piecewise", "periodic"),
        neutral="none",
    ),
    "embedding_width": Hyperparameter(
        "int",
        "width of each number's embedding",
        8,
        low=1,
        high=1024,
        when=("number_embedding", ("piecewise", "periodic")),
    ),
    "bins": Hyperparameter(
        "int",
        "quantiles between which a number is placed",
        16,
        low=2,
        high=256,
        when=("number_embedding", ("piecewise",)),
    ),
    "frequencies": Hyperparameter(
        "int", "waves of a number", 16, low=1, high=256, when=("number_embedding", ("periodic",))
    ),
    "frequency_scale": Hyperparameter(
        "float",
        "standard deviation of initial frequencies",
        0.1,
        above=0.0,
        high=100.0,
        when=("number_embedding", ("periodic",)),
        tried=(0.01, 100.0),
        source="Gorishniy et al. 2022, arXiv 2203.05556, E",
    ),
    "category_width": Hyperparameter(
        "int",
        "width of the embedding of a column with more categories than this; 0: all are one-hot",
        low=0,
        high=1024,
        neutral=0,
    ),
    "activation": Hyperparameter("choice", "inside blocks and before the output", "relu", choices=ACTIVATIONS),
    "dropout": MLP["dropout"],
    "residual_dropout": Hyperparameter(
        "float", "probability of dropping a unit of what a block adds", low=0.0, below=1.0, neutral=0.0
    ),
    "batch_norm": Hyperparameter("bool", "normalise the input of each block and of the output", neutral=False),
    "layer_norm": Hyperparameter(
        "bool",
        "normalise the units of every row, at the same places",
        when=("batch_norm", (False,)),
        neutral=False,
    ),
    "weight_init": SHAPED["weight_init"],
}
RNN_SIZES = ("layers", "freeze")
