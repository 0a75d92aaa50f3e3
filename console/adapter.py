from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class ClosedAdapter(DefaultAccountAdapter):
    """People are added by an admin on the Access page, never by themselves."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False
