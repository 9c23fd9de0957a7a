"""A bakery's service, whose history can be downloaded, uploaded and checked."""
