"""Watch *why* a Keras model predicts what it predicts, while it trains.

Callbacks (`tb_xai.callbacks`) compute explanations at the end of each epoch and log them; a
TensorBoard tab shows how they change, next to graph and scalars; `tb_xai.reader` gives the same
records to a notebook.

Importing this package imports nothing else: each module is imported by name (`from tb_xai import
reader`).
"""

__version__ = "0.1.0"
