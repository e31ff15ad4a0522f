"""Show what became of a network: one page with plots that a browser opens without a server or a network.

    python report.py -m new-vgg16 --baseline vgg16 --config config-rksel-2.0.json --output new-vgg16.html
    python report.py -m new-vgg16 --baseline vgg16 --data-val val.rec --rgb-mean 123.68,116.779,103.939

Needs the extra 'report' (matplotlib and jinja2): pip install '.[report]' in the folder with accnn's setup.py.
"""
from accnn.cli.main import Script

script = Script("accnn.cli.report", __doc__)
main, parser = script.main, script.parser
