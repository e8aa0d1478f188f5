"""A Docker engine, for whatever runs or builds something on one; nothing of a platform is known here.

- `client`: the SDK behind calls that do not block, and the archives of images;
- `errors`: what goes wrong there, as the errors that a user is told about.

Nothing else imports the SDK. It comes with the extra `docker`, so these modules are imported where they are needed.
"""
