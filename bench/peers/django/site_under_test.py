"""Django's users and sessions, with what they need of its middleware and nothing else.

`python site_under_test.py` fills the database and becomes gunicorn, which imports `application`.
"""

import json
import os
import sys
from datetime import timedelta

import django
from django.conf import settings

# Whether it is asked with tokens, as Django REST framework makes them.
TOKENS = os.environ["TOKENS"] == "on"

settings.configure(
    SECRET_KEY=os.urandom(50).hex() if __name__ == "__main__" else os.environ["SECRET_KEY"],
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF="site_under_test",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        *(["rest_framework", "rest_framework.authtoken"] if TOKENS else []),
    ],
    REST_FRAMEWORK={"DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"]},
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["DATABASE"],
            "CONN_MAX_AGE": None,
            "OPTIONS": {"init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL"},
        }
    },
    LOGGING_CONFIG=None,
)
django.setup()

from django.contrib.auth import authenticate, get_user_model, login
from django.contrib.auth.hashers import make_password
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpResponse
from django.urls import path
from django.utils import timezone

if TOKENS:
    from rest_framework.authentication import TokenAuthentication
    from rest_framework.authtoken.models import Token
    from rest_framework.permissions import IsAuthenticated
    from rest_framework.views import APIView

User = get_user_model()


def me(request):
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    return HttpResponse(request.user.email, content_type="text/plain")


def log_in(request, number):
    login(request, User.objects.get(username=f"user{number}"))
    return HttpResponse()


def hello(request):
    return HttpResponse("Hello", content_type="text/plain")


def sign_up(request):
    form = json.loads(request.body)
    User.objects.create_user(username=form["email"], email=form["email"], password=form["password"])
    return HttpResponse()


def sign_in(request):
    form = json.loads(request.body)
    user = authenticate(request, username=form["email"], password=form["password"])
    if user is None:
        return HttpResponse(status=401)
    login(request, user)
    return HttpResponse()


urlpatterns = [
    path("me", me),
    path("hello", hello),
    path("log-in/<int:number>", log_in),
    path("sign-up/email", sign_up),
    path("sign-in/email", sign_in),
]
if TOKENS:

    class Me(APIView):
        authentication_classes = [TokenAuthentication]
        permission_classes = [IsAuthenticated]

        def get(self, request):
            return HttpResponse(request.user.email, content_type="text/plain")

    def create_token(request):
        if not request.user.is_authenticated:
            return HttpResponse(status=401)
        token, _ = Token.objects.get_or_create(user=request.user)
        return HttpResponse(token.key, content_type="text/plain")

    urlpatterns[0] = path("me", Me.as_view())
    urlpatterns.append(path("tokens", create_token))

application = get_wsgi_application()


def fill(users, sessions):
    call_command("migrate", verbosity=0)
    password = make_password("nobody knows it")
    accounts = (
        User(username=f"user{n}", email=f"user{n}@example.com", password=password) for n in range(1, users + 1)
    )
    User.objects.bulk_create(accounts, batch_size=5000)
    # One real session; the others are its copies under keys of their own.
    store = SessionStore()
    user = User.objects.get(username="user1")
    store.update(
        {
            "_auth_user_id": str(user.pk),
            "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
            "_auth_user_hash": user.get_session_auth_hash(),
        }
    )
    data, expire = store.encode(dict(store.items())), timezone.now() + timedelta(weeks=2)
    Session.objects.bulk_create(
        (Session(session_key=os.urandom(16).hex(), session_data=data, expire_date=expire) for _ in range(sessions)),
        batch_size=5000,
    )
    if TOKENS:
        # A user has one at most.
        tokens = (Token(key=Token.generate_key(), user_id=id) for id in User.objects.values_list("pk", flat=True))
        Token.objects.bulk_create(tokens, batch_size=5000)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


if __name__ == "__main__":
    fill(int(os.environ["USERS"]), int(os.environ["SESSIONS"]))
    os.environ["SECRET_KEY"] = settings.SECRET_KEY
    # gunicorn's default worker ends a connection after each answer; this one keeps it, as the others do.
    size = [f"--workers={os.environ['WORKERS']}", f"--threads={os.environ['THREADS']}"]
    options = [*size, "--worker-class=gthread", "--keep-alive=60", "--log-level=warning"]
    bind = f"--bind=127.0.0.1:{os.environ['PORT']}"
    here = os.path.dirname(os.path.abspath(__file__))
    gunicorn = [sys.executable, "-m", "gunicorn", *options, bind, f"--chdir={here}", "site_under_test:application"]
    os.execv(sys.executable, gunicorn)
