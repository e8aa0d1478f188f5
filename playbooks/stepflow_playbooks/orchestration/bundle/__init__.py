"""The Kubernetes bundle of a platform as files: kustomize overlays and a Helm chart of the same objects."""
