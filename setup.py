"""pip install -e '.[test]' 'numpy<1.24'"""
from setuptools import find_packages, setup

SCRIPTS = {"accnn": "accnn.accnn", "acc-conv": "accnn.acc_conv", "acc-fc": "accnn.acc_fc",
           "accnn-ranks": "accnn.rank_selection", "accnn-score": "accnn.score", "accnn-benchmark": "accnn.benchmark",
           "accnn-fine-tune": "accnn.fine_tune", "accnn-two-pass": "accnn.two_pass",
           "accnn-launch": "accnn.launch", "accnn-pack": "accnn.pack", "accnn-check": "accnn.check"}

setup(
    name="accnn",
    version="2.0.0.dev0",
    description="Make trained convolutional networks run faster, natively in Apache MXNet",
    license="Apache-2.0",
    license_files=["LICENSE"],
    package_dir={"": "tools"},
    packages=find_packages("tools", include=["accnn", "accnn.*"]),
    python_requires=">=3.8,<3.12",
    install_requires=["mxnet==1.9.1", "numpy>=1.19,<2", "scipy>=1.5", "threadpoolctl>=2"],
    extras_require={
        # The headless build of OpenCV: the plain one fails on machines without libGL.
        "demo": ["opencv-python-headless<4.12", "scikit-learn"],
        "test": ["opencv-python-headless<4.12", "scikit-learn", "pytest>=7", "ruff"],
    },
    entry_points={"console_scripts": ["%s = %s:main" % item for item in SCRIPTS.items()]},
)
