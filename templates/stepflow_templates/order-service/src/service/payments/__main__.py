"""`python -m service.payments`: run the payment provider."""

from __future__ import annotations

from chassis.app import serve
from chassis.settings import load
from service.payments.app import make
from service.payments.settings import PaymentSettings

if __name__ == "__main__":
    settings = load(PaymentSettings)
    serve(make(settings), settings)
