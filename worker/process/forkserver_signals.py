"""Makes the fork server, the only importer of this module, ignore signals to the service.

A service manager may signal all processes of the service at once. The fork server ends with its worker. If it ended
earlier, its trainers would look dead to the supervisor while they save their states.
"""

import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
