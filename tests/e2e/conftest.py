"""The browser and the tab are shared by the modules that test the page."""

from tests.e2e.test_page import browser, open_tab  # noqa: F401
