"""What good practice says of the rendered objects: the rules of kube-linter, kube-score, polaris and Pod Security.

Each rule bears the name that it has where it comes from, and reads plain objects: nothing is installed or called.
"""
