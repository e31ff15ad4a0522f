"""The networks that can be built without a download, by name.

Each module offers ``get_symbol(num_classes=1000)``, which ends in a SoftmaxOutput named 'softmax'
over the variable 'data', and ``IMAGE_SHAPE``, the (channels, height, width) the network was made
for. To add a network, write its module and name it here.
"""
from model_zoo.symbols import alexnet, resnet50, spp10, squeezenet, vgg16

SYMBOLS = {module.__name__.rpartition(".")[2]: module for module in (alexnet, resnet50, spp10, squeezenet, vgg16)}
