"""Makes password_hashes.json: password hashes as other software writes them.

Run once, by hand; the result is committed, so that our own code is held to what others made.

    python3 -m venv venv && venv/bin/pip install passlib==1.7.4 argon2-cffi==25.1.0 bcrypt==4.3.0 Django==5.2.19
    npm install @phc/pbkdf2@1.1.14 hash-wasm@4.13.0
    venv/bin/python make_password_hashes.py > password_hashes.json
"""

import json
import subprocess
import sys
from importlib.metadata import version

import argon2
import bcrypt
import django
from django.conf import settings

settings.configure(PASSWORD_HASHERS=[
    "django.contrib.auth.hashers." + name
    for name in (
        "PBKDF2PasswordHasher", "PBKDF2SHA1PasswordHasher", "Argon2PasswordHasher",
        "BCryptPasswordHasher", "BCryptSHA256PasswordHasher", "ScryptPasswordHasher",
    )
])
django.setup()

from django.contrib.auth import hashers  # noqa: E402
from passlib import hash as passlib_hash  # noqa: E402

ASCII = "correct horse battery staple"
UTF8 = "Grüße, 密码 и пароль 🔑"
# Longer than any block of the hash functions (HMAC then hashes its key), shorter than bcrypt's 72 bytes.
LONG_FOR_BCRYPT = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-+!?.,"
LONG = "long " * 50
VECTORS = []


def add(made_by, kind, password, stored):
    VECTORS.append({"made_by": made_by, "kind": kind, "password": password, "hash": stored})


def fast(name, **options):
    """A Django hasher at a cost that a debug build can pay."""
    hasher = type(name, (getattr(hashers, name),), options)()
    return lambda password: hasher.encode(password, hasher.salt())


for password in (ASCII, UTF8, LONG):
    cffi = f"argon2-cffi {version('argon2-cffi')}"
    for kind in ("i", "d", "id"):
        hasher = argon2.PasswordHasher(
            time_cost=2, memory_cost=256, parallelism=2, type=getattr(argon2.Type, kind.upper())
        )
        add(cffi, "argon2" + kind, password, hasher.hash(password))
    add(cffi, "argon2id", password, argon2.PasswordHasher(1, 64, 1, hash_len=16, salt_len=8).hash(password))

    lib = f"passlib {version('passlib')}"
    add(lib, "scrypt", password, passlib_hash.scrypt.using(rounds=10, block_size=8, parallelism=2).hash(password))
    add(lib, "scrypt", password, passlib_hash.scrypt.using(rounds=4, block_size=1, parallelism=1).hash(password))
    add(lib, "pbkdf2_sha1", password, passlib_hash.pbkdf2_sha1.using(rounds=1200).hash(password))
    add(lib, "pbkdf2_sha256", password, passlib_hash.pbkdf2_sha256.using(rounds=1200).hash(password))
    add(lib, "pbkdf2_sha512", password, passlib_hash.pbkdf2_sha512.using(rounds=1200, salt_size=33).hash(password))

    dj = f"Django {version('Django')}"
    add(dj, "pbkdf2_sha256", password, fast("PBKDF2PasswordHasher", iterations=1200)(password))
    add(dj, "pbkdf2_sha1", password, fast("PBKDF2SHA1PasswordHasher", iterations=1200)(password))
    add(dj, "scrypt", password, fast("ScryptPasswordHasher", work_factor=1024, parallelism=5)(password))
    add(dj, "argon2id", password, fast("Argon2PasswordHasher", time_cost=1, memory_cost=128, parallelism=4)(password))
    add(dj, "bcrypt_sha256", password, fast("BCryptSHA256PasswordHasher", rounds=4)(password))

for password in (ASCII, UTF8, LONG_FOR_BCRYPT, LONG):
    crypt = f"bcrypt {version('bcrypt')}"
    add(crypt, "bcrypt", password, bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode())
    add(crypt, "bcrypt", password, bcrypt.hashpw(password.encode(), bcrypt.gensalt(5, b"2a")).decode())
    # The same computation under PHP's name.
    add(crypt, "bcrypt", password, bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$"))
    if password != LONG:
        add(f"Django {version('Django')}", "bcrypt", password, fast("BCryptPasswordHasher", rounds=4)(password))

NODE = """
const { hash } = require('@phc/pbkdf2');
const { bcrypt, argon2id, scrypt } = require('hash-wasm');
const { randomBytes, scryptSync, pbkdf2Sync } = require('crypto');
const [ascii, utf8, long] = JSON.parse(process.argv[1]);
const phc = 'npm @phc/pbkdf2 ' + require('@phc/pbkdf2/package.json').version;
const wasm = 'npm hash-wasm ' + require('hash-wasm/package.json').version;
const node = 'Node.js ' + process.version + ' crypto, put into the PHC form';
const b64 = (bytes) => bytes.toString('base64').replace(/=+$/, '');
(async () => {
  const vectors = [];
  const add = (made_by, kind, password, hash) => vectors.push({ made_by, kind, password, hash });
  for (const password of [ascii, utf8, long]) {
    for (const digest of ['sha1', 'sha256', 'sha512']) {
      add(phc, 'pbkdf2_' + digest, password, await hash(password, { iterations: 1000, digest }));
    }
    const salt = randomBytes(16);
    const key = scryptSync(password, salt, 32, { N: 512, r: 8, p: 1 });
    add(node, 'scrypt', password, '$scrypt$ln=9,r=8,p=1$' + b64(salt) + '$' + b64(key));
    add(wasm, 'argon2id', password, await argon2id({
      password, salt, parallelism: 1, iterations: 2, memorySize: 64, hashLength: 32, outputType: 'encoded' }));
    if (password !== long) {
      add(wasm, 'bcrypt', password, await bcrypt({ password, salt, costFactor: 4, outputType: 'encoded' }));
    }
  }
  console.log(JSON.stringify(vectors));
})();
"""
made = subprocess.run(["node", "-e", NODE, json.dumps([ASCII, UTF8, LONG])], check=True, capture_output=True)
VECTORS.extend(json.loads(made.stdout))
json.dump(VECTORS, sys.stdout, ensure_ascii=False, indent=1)
print()
