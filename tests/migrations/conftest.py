"""The databases of the integration tests, empty."""

from tests.integration.conftest import database_url as database_url
from tests.integration.conftest import postgresql as postgresql
