"""
A real browser, without a window.
"""

from __future__ import annotations

import shutil

import pytest

# Debian's names.
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
# Seconds.
DEADLINE = 30


@pytest.fixture
def browser(tmp_path):
    """
    Chromium, driven by Selenium; a loud skip where there is none.
    """
    if not BROWSER or not DRIVER:
        pytest.skip(
            "The tests in a browser did not run: there is no chromium or no "
            "chromedriver: apt-get install chromium chromium-driver"
        )
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in [
        "--headless=new",
        # It refuses to run as root with one.
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
        f"--user-data-dir={tmp_path}",
    ]:
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(DEADLINE)
    try:
        yield driver
    finally:
        driver.quit()
