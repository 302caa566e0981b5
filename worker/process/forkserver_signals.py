"""Imported by the fork server alone: a signal meant for the service must not end it before its trainers.

A service manager may signal every process of the service at once. The fork server ends when its worker does, and a
trainer whose fork server is gone would look dead to its supervisor while it still saves its state.
"""

import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
