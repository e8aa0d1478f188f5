"""`python -m service`: run the order service."""

from __future__ import annotations

from chassis.app import serve
from chassis.settings import load
from service.app import make
from service.settings import OrderSettings

if __name__ == "__main__":
    settings = load(OrderSettings)
    serve(make(settings), settings)
