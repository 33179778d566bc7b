"""Does with PyPI's PyJWT what a list of requests on standard input asks, and prints the list of answers."""

import json
import sys

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt.utils import base64url_decode


def generate(alg, **_):
    if alg == "ES256":
        key, algorithm = ec.generate_private_key(ec.SECP256R1()), jwt.algorithms.ECAlgorithm
    else:
        key, algorithm = ed25519.Ed25519PrivateKey.generate(), jwt.algorithms.OKPAlgorithm
    return {
        "public": json.loads(algorithm.to_jwk(key.public_key())),
        "private": json.loads(algorithm.to_jwk(key)),
    }


def sign(alg, kid, key, claims, **_):
    return jwt.encode(claims, jwt.PyJWK(key, alg).key, algorithm=alg, headers={"kid": kid})


def sign_with_public_key(kid, key, claims, **_):
    # The confusion of CVE-2015-9235: the public key taken for a shared secret.
    return jwt.encode(claims, base64url_decode(key["x"]), algorithm="HS256", headers={"kid": kid})


def unsigned(claims, **_):
    return jwt.encode(claims, None, algorithm="none")


def verify(jwks, token, issuer, audience, alg, **_):
    keys = jwt.PyJWKSet.from_dict(jwks)
    key = keys[jwt.get_unverified_header(token)["kid"]]
    required = ["exp", "iat", "nbf", "jti", "sub"]
    return jwt.decode(token, key, algorithms=[alg], issuer=issuer, audience=audience, options={"require": required})


COMMANDS = {each.__name__: each for each in (generate, sign, sign_with_public_key, unsigned, verify)}


def answer(request):
    try:
        return {"ok": COMMANDS[request["command"]](**request)}
    except (jwt.PyJWTError, KeyError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


print(json.dumps([answer(request) for request in json.load(sys.stdin)]))
