"""Flask-AppBuilder: users, their roles and groups, and what those may do.

A permission on a view has no name of its own: it is known by those of the two. Users refer to each other,
in a circle too. A new application makes roles and permissions by itself: imports update them. MariaDB
keeps whole seconds of its times.
"""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from marshmallow.fields import Nested

import histio
from histio import Slug, SlugList, Text, testing
from tests.hosts.journey import Host, move_by_scaffold, move_with_catalog, need, see, travel, whole_seconds

need("flask_appbuilder.security.sqla.models", "flask_sqlalchemy")

from flask import Flask, g
from flask_appbuilder import AppBuilder
from flask_appbuilder.security.sqla.models import (
    ApiKey,
    Group,
    Permission,
    PermissionView,
    RegisterUser,
    Role,
    User,
    ViewMenu,
)
from flask_sqlalchemy import SQLAlchemy


class PermissionSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection = Permission, "permission", "permissions"
        timestamp, identity = None, "name"


class ViewSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection = ViewMenu, "view", "views"
        timestamp, identity = None, "name"


# In docs/how-to/recipes.md:
class GrantSchema(histio.RunSchema):
    class Meta:
        model, kind, collection = PermissionView, "grant", "grants"
        timestamp, identity = None, ("permission", "view")

    permission = Slug("permission", key="name", text=True, required=True)
    view = Slug("view_menu", key="name", text=True, required=True)


class RoleSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection = Role, "role", "roles"
        timestamp, identity = None, "name"

    permissions = SlugList("permissions", key=("permission.name", "view_menu.name"), text=True)


# So far docs/how-to/recipes.md.


class GroupSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection = Group, "group", "groups"
        timestamp, identity = None, "name"

    roles = SlugList("roles", key="name", text=True)


class ApiKeySchema(histio.AutoRecordSchema):
    class Meta:
        model = ApiKey

    uuid = Text(required=True)


class UserSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection = User, "user", "users"
        timestamp, identity = None, "username"

    roles = SlugList("roles", key="name", text=True)
    groups = SlugList("groups", key="name", text=True)
    created_by = Slug("created_by", key="username", text=True, allow_none=True)
    changed_by = Slug("changed_by", key="username", text=True, allow_none=True)
    api_keys = Nested(ApiKeySchema, many=True)


class RegistrationSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection = RegisterUser, "registration", "registrations"
        timestamp, identity = None, "username"


DAY = dt.datetime(2025, 12, 9)  # noqa: DTZ001 - as the application keeps it
NUMBERS = itertools.count()
KEYS = {}
FAST = "pbkdf2:sha256:1"


def application(url):
    app = Flask("host")
    app.config.update(SECRET_KEY="k" * 32, SQLALCHEMY_DATABASE_URI=url)
    app.config.update(FAB_PASSWORD_HASH_METHOD=FAST, FAB_API_KEY_HASH_METHOD=FAST)
    database = SQLAlchemy(app)
    with app.app_context():
        AppBuilder(app, database.session)
    return app


def create(url):
    app = application(url)
    with app.app_context():
        return app.appbuilder.session.get_bind()


def fill(url):
    app = application(url)
    with app.app_context():
        manager = app.appbuilder.sm
        reader = manager.add_role("Reader")
        for view in ("Users", " A view\n", "Überblick"):
            manager.add_permission_role(reader, manager.add_permission_view_menu("can_read", view))
        ann = manager.add_user("ann", "Ann", "Ä", "ann@example.org", manager.find_role("Admin"), "secret")
        g.user = ann
        bob = manager.add_user("bob", "Bob", "B", "bob@example.org", reader, "hidden")
        manager.add_group("Staff", "All of us", "…", [reader], [ann, bob])
        ann.created_by_fk, ann.changed_by_fk = bob.id, ann.id
        manager.add_register_user("cid", "Cid", "C", "cid@example.org", "pass")
        KEYS["ann"] = manager.create_api_key(ann, "a key", scopes="read")["key"]
        KEYS["bob"] = manager.create_api_key(bob, "revoked")["key"]
        manager.revoke_api_key(manager.find_api_keys_for_user(bob.id)[0].uuid)
        manager.session.commit()
        close(app)


def close(app):
    app.appbuilder.session.remove()
    app.appbuilder.session.get_bind().dispose()


def seen(url):
    app = application(url)
    with app.app_context():
        manager = app.appbuilder.sm
        users = sorted(manager.get_all_users(), key=lambda user: user.username)
        found = {
            "users": [
                {
                    "name": [user.username, user.get_full_name(), user.email, user.is_active],
                    "times": [user.created_on, user.changed_on, user.last_login, user.login_count],
                    "by": [str(user.created_by), str(user.changed_by)],
                    "roles": sorted(role.name for role in manager.get_user_roles(user)),
                    "groups": sorted(group.name for group in user.groups),
                    "permissions": sorted(manager.get_user_permissions(user)),
                    "keys": [
                        [key.uuid, key.name, key.scopes, key.is_active, key.created_on]
                        for key in manager.find_api_keys_for_user(user.id)
                    ],
                }
                for user in users
            ],
            "roles": sorted(
                [role.name, sorted(map(str, role.permissions))] for role in manager.get_all_roles()
            ),
            "keys": {name: str(manager.validate_api_key(key)) for name, key in KEYS.items()},
        }
        close(app)
    return found


HOST = Host(
    kinds=(
        PermissionSchema,
        ViewSchema,
        GrantSchema,
        RoleSchema,
        GroupSchema,
        UserSchema,
        RegistrationSchema,
    ),
    create=create,
    fill=fill,
    seen=seen,
    options={"on_duplicate": "update", "truncate_times": True},
)


@pytest.fixture(scope="module")
def stops(new_database, tmp_path_factory):
    yield from travel(HOST, new_database, tmp_path_factory.mktemp("flask_appbuilder"))


def test_all_that_the_new_application_has_not_arrives_and_the_rest_becomes_the_same(stops):
    for stop in stops[1:]:
        assert stop.report.problems == ()
        kinds = stop.report.by_kind
        assert [kinds[name].imported for name in ("user", "registration", "group")] == [2, 1, 1]
        assert (kinds["role"].imported, kinds["role"].rejected) == (1, 0)


def test_every_database_exports_the_same_but_for_the_digits_of_seconds_that_mariadb_does_not_keep(stops):
    sqlite, postgresql, mariadb, back = (stop.file for stop in stops)
    assert postgresql == sqlite
    assert whole_seconds(mariadb) == whole_seconds(sqlite)
    assert back == mariadb


def test_users_may_do_the_same_everywhere(stops):
    sqlite, postgresql, mariadb, back = (stop.seen for stop in stops)
    assert postgresql == sqlite
    assert whole_seconds(mariadb) == whole_seconds(sqlite)
    assert back == mariadb


def test_users_log_in_with_their_passwords_everywhere(stops):
    for stop in stops:
        app = application(stop.url)
        with app.test_request_context():
            assert app.appbuilder.sm.auth_user_db("ann", "secret").username == "ann"
            assert app.appbuilder.sm.auth_user_db("ann", "hidden") is None
            close(app)


def new_rows():
    """Runs of all kinds, each after those that it refers to."""
    for number in NUMBERS:
        yield (permission := Permission(name=f"may {number}"))
        yield (view := ViewMenu(name=f"view {number}"))
        yield (grant := PermissionView(permission=permission, view_menu=view))
        yield (role := Role(name=f"role {number}", permissions=[grant]))
        user = User(username=f"user {number}", email=f"{number}@example.org", first_name="A", last_name="B")
        user.created_on = user.changed_on = DAY
        user.roles = [role]
        user.api_keys = [ApiKey(name="key", key_hash=f"hash {number}", key_prefix="k", created_on=DAY)]
        yield user


def make_runs(session, count):
    session.add_all(itertools.islice(new_rows(), count))


def test_the_binding_keeps_what_histio_promises(stops):
    for stop in stops[1:3]:  # SQLite, the fastest, is left to the tests of the kit
        testing.check_host(stop.history, make_runs=make_runs)


def test_what_histio_scaffolds_moves_everything(stops, new_database):
    models = (Permission, ViewMenu, PermissionView, Role, Group, User, RegisterUser)
    assert move_by_scaffold(HOST, stops[0], new_database, *models) == see(HOST, stops[0].url)


def test_users_take_their_roles_groups_and_permissions_along(stops, new_database):
    options = {"catalog": "update"}  # a new application has roles of its own
    for _, there in move_with_catalog(HOST, stops[0], new_database, User, RegisterUser, **options):
        assert whole_seconds(there) == whole_seconds(see(HOST, stops[0].url))


def test_the_application_goes_on_where_the_history_arrived(stops):
    for stop in stops:
        app = application(stop.url)
        with app.app_context():
            manager = app.appbuilder.sm
            new = manager.add_user("new", "N", "N", "new@example.org", manager.find_role("Reader"), "new")
            assert new.roles[0].name == "Reader"
            close(app)
