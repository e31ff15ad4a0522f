"""pip install -e '.[test]' 'numpy<1.24;python_version<"3.12"' && pip install --no-deps mxnet==1.9.1"""
from setuptools import find_packages, setup

SCRIPTS = {"accnn": "accnn.accnn", "acc-conv": "accnn.acc_conv", "acc-fc": "accnn.acc_fc",
           "accnn-ranks": "accnn.rank_selection", "accnn-score": "accnn.score", "accnn-benchmark": "accnn.benchmark",
           "accnn-fine-tune": "accnn.fine_tune", "accnn-two-pass": "accnn.two_pass",
           "accnn-launch": "accnn.launch", "accnn-pack": "accnn.pack", "accnn-check": "accnn.check",
           "accnn-quantize": "accnn.quantize", "accnn-export": "accnn.export",
           "accnn-report": "accnn.report"}

# The headless build of OpenCV: the plain one fails on machines without libGL. From 4.12 on it wants NumPy 2.
OPENCV = ["opencv-python-headless<4.12;python_version<'3.13'", "opencv-python-headless>=4.12;python_version>='3.13'"]
# Any release goes with the NumPy that mxnet takes: those for Python 3.8 to 3.11 work with NumPy 1.23.
ONNX = ["onnx>=1.14", "onnxruntime>=1.15"]
OPENVINO = ["openvino>=2023.1", "nncf>=2.7"]  # reads what accnn writes with onnx; NNCF makes INT8 of it
REPORT = ["matplotlib>=3.7", "jinja2>=3"]  # plots and pages

setup(
    name="accnn",
    version="2.0.0.dev0",
    description="Make trained convolutional networks run faster, natively in Apache MXNet",
    license="Apache-2.0",
    license_files=["LICENSE"],
    package_dir={"": "tools"},
    packages=find_packages("tools", include=["accnn", "accnn.*"]),
    package_data={"accnn.report": ["page.html"]},
    python_requires=">=3.8,<3.14",
    # mxnet's metadata asks for numpy<2, of which there is none for Python 3.13: there it is installed with --no-deps.
    install_requires=["mxnet==1.9.1;python_version<'3.13'", "numpy>=1.20,<2;python_version<'3.13'",
                      "numpy>=2.1;python_version>='3.13'", "requests>=2.20,<3", "setuptools;python_version>='3.12'",
                      "scipy>=1.5", "threadpoolctl>=2", "tqdm>=4.60,<5"],
    extras_require={
        "onnx": ONNX,
        "openvino": ["onnx>=1.14"] + OPENVINO,
        "report": REPORT,
        "demo": OPENCV + REPORT + ["scikit-learn"],
        "test": OPENCV + ONNX + REPORT + ["scikit-learn", "pytest>=7", "pytest-xdist", "ruff", "nbclient", "ipykernel"],
    },
    entry_points={"console_scripts": ["%s = %s:main" % item for item in SCRIPTS.items()]},
)
