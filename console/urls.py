"""One line a page; each feature brings its own `urls`."""

from allauth.account.urls import urlpatterns as allauth_urls
from django.urls import include, path

import console.converters  # noqa: F401
from console.health import views as health

handler400 = "console.problems.bad_request"
handler404 = "console.problems.page_not_found"
handler500 = "console.problems.server_error"

# Of allauth what the console has pages for; there is no sign-up and no e-mail here.
ACCOUNT_PAGES = {"login", "logout", "inactive", "signup", "reauthenticate", "change_password"}

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path(
        "accounts/",
        include([url for url in allauth_urls if url.name.removeprefix("account_") in ACCOUNT_PAGES]),
    ),
    path("accounts/2fa/", include("allauth.mfa.urls")),
    path("", include("console.servers.urls")),
    path("", include("console.keys.urls")),
    path("", include("console.trash.urls")),
    path("", include("console.pubsub.urls")),
    path("", include("console.backups.urls")),
    path("", include("console.bulk.urls")),
    path("", include("console.jobs.urls")),
    path("", include("console.access.urls")),
    path("", include("console.audit.urls")),
]
