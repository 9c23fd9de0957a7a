"""JupyterHub: users with their servers, tokens and shares, and groups, roles, services and clients.

Who has which role is in tables that keep more than that, so those are ledgers. Servers have no key: they
are nested in what owns them. A share of a server names the user in whose record it stands. MariaDB keeps
whole seconds of its times.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
from contextlib import contextmanager

import pytest
from marshmallow.fields import Nested

import histio
from histio import Slug, SlugList, testing
from tests.hosts.journey import Host, move_by_scaffold, move_with_catalog, need, see, travel, whole_seconds

need("jupyterhub.orm", "jupyterhub.oauth.provider")

from jupyterhub import orm, roles, scopes
from jupyterhub.oauth.provider import make_provider


class ClientSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection = orm.OAuthClient, "client", "clients"
        timestamp, identity = None, "identifier"

    identifier = histio.Text(required=True)


class RoleSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection = orm.Role, "role", "roles"
        timestamp, identity = None, "name"

    name = histio.Text(required=True)


class ServerSchema(histio.AutoRecordSchema):
    class Meta:
        model = orm.Server


class TokenSchema(histio.AutoRecordSchema):
    class Meta:
        model = orm.APIToken
        exclude = ("user_id", "service_id")  # one is the owner's, and the other null

    client = Slug("oauth_client", key="identifier", text=True, allow_none=True)


class ServiceRoleSchema(histio.AutoRecordSchema):
    class Meta:
        model, order = orm._role_associations["service"], "role"

    role = Slug("role_id", key="name", text=True, required=True)


class ServiceSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection = orm.Service, "service", "services"
        timestamp, identity = None, "name"

    name = histio.Text(required=True)
    client = Slug("oauth_client", key="identifier", text=True, allow_none=True)
    server = Nested(ServerSchema, allow_none=True)
    service_role_map = Nested(ServiceRoleSchema, many=True)
    api_tokens = Nested(TokenSchema, many=True)


class CodeSchema(histio.AutoRecordSchema):
    class Meta:
        model = orm.OAuthCode

    client = Slug("client", key="identifier", text=True, allow_none=True)


# In docs/how-to/recipes.md:
class ShareSchema(histio.AutoRecordSchema):
    class Meta:
        model = orm.Share

    owner = Slug("owner", key="name", text=True, required=True)
    user = Slug("user", key="name", text=True, allow_none=True)
    group = Slug("group", key="name", text=True, allow_none=True)


class ShareCodeSchema(histio.AutoRecordSchema):
    class Meta:
        model = orm.ShareCode

    owner = Slug("owner", key="name", text=True, required=True)


class SpawnerSchema(histio.AutoRecordSchema):
    class Meta:
        model = orm.Spawner

    client = Slug("oauth_client", key="identifier", text=True, allow_none=True)
    server = Nested(ServerSchema, allow_none=True)
    shares = Nested(ShareSchema, many=True)
    share_codes = Nested(ShareCodeSchema, many=True)


# So far docs/how-to/recipes.md.


class UserRoleSchema(histio.AutoRecordSchema):
    class Meta:
        model, order = orm._role_associations["user"], "role"

    role = Slug("role_id", key="name", text=True, required=True)


class UserSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection = orm.User, "user", "users"
        timestamp, identity = None, "name"

    name = histio.Text(required=True)
    user_role_map = Nested(UserRoleSchema, many=True)
    spawners = Nested(SpawnerSchema, many=True, attribute="_orm_spawners")
    api_tokens = Nested(TokenSchema, many=True)
    oauth_codes = Nested(CodeSchema, many=True)


class GroupRoleSchema(histio.AutoRecordSchema):
    class Meta:
        model, order = orm._role_associations["group"], "role"

    role = Slug("role_id", key="name", text=True, required=True)


class GroupSchema(histio.AutoRunSchema):
    class Meta:
        model, kind, collection = orm.Group, "group", "groups"
        timestamp, identity = None, "name"

    name = histio.Text(required=True)
    users = SlugList("users", key="name", text=True)
    group_role_map = Nested(GroupRoleSchema, many=True)


DAY = dt.datetime(2025, 12, 9)  # noqa: DTZ001 - as JupyterHub keeps it
NUMBERS = itertools.count()
ANN, SERVICE = "0123456789abcdef", "fedcba9876543210"


@contextmanager
def opened(url):
    factory = orm.new_session_factory(url)
    with factory() as session:
        yield session
    factory.kw["bind"].dispose()


def create(url):
    return orm.new_session_factory(url).kw["bind"]


def fill(url):
    with opened(url) as db:
        for role in roles.get_default_roles():
            roles.create_role(db, role)
        roles.create_role(
            db, {"name": "teacher", "description": "Ä", "scopes": ["list:users", "read:groups"]}
        )
        provider = make_provider(lambda: db, url_prefix="/hub", login_url="/login")
        provider.add_client(
            "jupyterhub", "secret", "http://hub/cb", allowed_scopes=["self"], description="Hub"
        )
        provider.add_client("lab", "hidden", "http://lab/cb", allowed_scopes=[], description="")
        ann = orm.User(
            name="ann", admin=True, encrypted_auth_state=b"\x00\xff", user_info={"b": [1, 2.0], "a": None}
        )
        bob = orm.User(name="bob")
        course = orm.Group(name=" a course", users=[ann, bob], properties={"room": "Ä"})
        service = orm.Service(name="cull", command=["python", "-m", "cull"], environment={"A": "b"})
        service.server = orm.Server(ip="127.0.0.1", port=9999)
        db.add_all([ann, bob, course, service])
        db.commit()
        roles.grant_role(db, ann, "teacher")
        db.query(orm._role_associations["user"]).filter_by(user_id=ann.id).one().managed_by_auth = True
        roles.grant_role(db, course, "teacher")
        roles.grant_role(db, service, "teacher")
        client = db.query(orm.OAuthClient).filter_by(identifier="lab").one()
        spawner = orm.Spawner(
            name="", user=ann, state={"pid": 7}, user_options={"size": 1.5}, oauth_client=client
        )
        spawner.server, spawner.started = orm.Server(port=8888), orm.utcnow()
        db.add(spawner)
        db.commit()
        ann.new_api_token(ANN, note="a note", expires_in=10**8)
        service.new_api_token(SERVICE, scopes=["read:groups"])
        code = orm.OAuthCode(client_id="lab", code="code", user=bob, redirect_uri="http://x", expires_at=1)
        db.add(code)
        share_code, _ = orm.ShareCode.new(db, spawner, scopes=["access:servers"])
        share_code.exchange(bob)
        orm.Share.grant(db, spawner, course, ["access:servers", "read:servers"])


def seen(url):
    with opened(url) as db:
        return {
            "users": [see_user(user) for user in db.query(orm.User).order_by(orm.User.name)],
            "groups": [
                [group.name, group.properties, names(group.users), names(group.roles)]
                + [see_share(share) for share in group.shared_with_me]
                for group in db.query(orm.Group)
            ],
            "roles": [
                [role.name, role.description, role.scopes, role.managed_by_auth]
                for role in db.query(orm.Role).order_by(orm.Role.name)
            ],
            "service": see_service(orm.Service.find(db, "cull")),
            "tokens": [see_token(orm.APIToken.find(db, token)) for token in (ANN, SERVICE)],
        }


def names(rows):
    return sorted(row.name for row in rows)


def see_user(user):
    return {
        "name": [user.name, user.admin, user.created, user.cookie_id, user.user_info],
        "state": [str(user.encrypted_auth_state), user.state],
        "roles": names(user.roles),
        "groups": names(user.groups),
        "scopes": sorted(scopes.get_scopes_for(user)),
        "spawners": [
            [name, see_server(spawner), spawner.state, spawner.user_options, spawner.started]
            for name, spawner in user.orm_spawners.items()
        ],
        "shared": [see_share(share) for share in user.shared_with_me],
        "shares": [see_share(share) for share in user.shares],
        "codes": [
            [code.hashed, code.exchange_count, code.scopes, code.expires_at] for code in user.share_codes
        ],
        "oauth": [[code.code, code.client_id, code.expires_at] for code in user.oauth_codes],
    }


def see_server(spawner):
    return [str(spawner.server), spawner.oauth_client.identifier]


def see_share(share):
    return [str(share), share.owner.name, share.created_at, share.scopes]


def see_service(service):
    return [service.name, str(service.server), service.command, service.environment, names(service.roles)]


def see_token(token):
    return [str(token), token.owner.name, token.note, token.scopes, token.created, token.expires_at]


HOST = Host(
    kinds=(ClientSchema, RoleSchema, ServiceSchema, UserSchema, GroupSchema),
    create=create,
    fill=fill,
    seen=seen,
    options={"truncate_times": True},
)


@pytest.fixture(scope="module")
def stops(new_database, tmp_path_factory):
    yield from travel(HOST, new_database, tmp_path_factory.mktemp("jupyterhub"))


def test_everything_arrives_everywhere(stops):
    for stop in stops[1:]:
        kinds = {name: count.imported for name, count in stop.report.by_kind.items()}
        assert kinds == {"client": 2, "role": 5, "service": 1, "user": 2, "group": 1}
        assert stop.report.problems == ()


def test_every_database_exports_the_same_but_for_the_digits_of_seconds_that_mariadb_does_not_keep(stops):
    sqlite, postgresql, mariadb, back = (stop.file for stop in stops)
    assert postgresql == sqlite
    assert whole_seconds(mariadb) == whole_seconds(sqlite)
    assert back == mariadb


def test_users_services_and_tokens_are_the_same_to_jupyterhub_everywhere(stops):
    sqlite, postgresql, mariadb, back = (stop.seen for stop in stops)
    assert postgresql == sqlite
    assert whole_seconds(mariadb) == whole_seconds(sqlite)
    assert back == mariadb


def new_rows():
    """Runs of all kinds, each after those that it refers to."""
    for number in NUMBERS:
        name = f"{number} of the kit"
        yield (role := orm.Role(name=name, description=name))
        yield (group := orm.Group(name=name, properties={"number": number}))
        user = orm.User(name=name, created=DAY, user_info={"number": number}, roles=[role])
        spawner = orm.Spawner(name=name, started=DAY, server=orm.Server(port=number))
        spawner.shares = [orm.Share(owner=user, group=group, created_at=DAY, _scopes=["access:servers"])]
        user._orm_spawners = [spawner]
        yield user


def make_runs(session, count):
    session.add_all(itertools.islice(new_rows(), count))


def test_the_binding_keeps_what_histio_promises(stops):
    for stop in stops[1:3]:  # SQLite, the fastest, is left to the tests of the kit
        testing.check_host(stop.history, make_runs=make_runs)


def test_what_histio_scaffolds_moves_everything(stops, new_database):
    models = (orm.OAuthClient, orm.Role, orm.Service, orm.User, orm.Group)
    assert move_by_scaffold(HOST, stops[0], new_database, *models) == see(HOST, stops[0].url)


def used(text):
    """What users see, without the roles that nobody has: they stay where they are."""
    found = json.loads(whole_seconds(text))
    return found | {"roles": [role for role in found["roles"] if role[0] == "teacher"]}


def test_users_and_services_take_their_roles_along(stops, new_database):
    models = (orm.OAuthClient, orm.Service, orm.User, orm.Group)
    for _, there in move_with_catalog(HOST, stops[0], new_database, *models):
        assert used(there) == used(stops[0].seen)


def test_jupyterhub_goes_on_where_the_history_arrived(stops):
    for stop in stops:
        with opened(stop.url) as db:
            token = orm.User.find(db, "bob").new_api_token(note="new")
            assert orm.APIToken.find(db, token).user.name == "bob"
            assert orm.User.find(db, "ann").orm_spawners[""].shares[0].owner.name == "ann"
