"""Rules of kube-linter, kube-score, polaris and Pod Security for rendered objects (see README.md).

Each rule keeps its upstream name and reads plain objects: nothing is installed or called.
"""
