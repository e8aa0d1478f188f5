"""The mail sink: an SMTP server that keeps every mail it gets and shows it to administrators. It sends nothing on."""
