"""Assembles the provider."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from chassis.app import Service
from service.payments.api import faults_router, router
from service.payments.settings import PaymentSettings


def make(settings: PaymentSettings) -> FastAPI:
    """Make the app. It joins the registry without routes: only the mesh knows it."""
    service = Service(
        settings,
        title="Payment provider (simulated)",
        version="0.1.0",
        summary="Takes money for tokens: `tok_ok`, `tok_declined`, `tok_slow`, `tok_error`.",
    )
    database = service.database(migrations=Path(__file__).parent / "migrations")
    routers = [router(database, settings.payment_api_key, settings.slow_seconds)]
    if settings.faults_enabled:
        routers.append(faults_router(database))
    return service.app(*routers)
