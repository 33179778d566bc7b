// Does with npm's `jose` what a list of requests on standard input asks, and prints the list of answers.

import {
  SignJWT, UnsecuredJWT, base64url, compactDecrypt, createLocalJWKSet, exportJWK, generateKeyPair, importJWK, jwtVerify,
} from 'jose';

const commands = {
  async generate({ alg }) {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
    return { public: await exportJWK(publicKey), private: await exportJWK(privateKey) };
  },
  async sign({ alg, kid, key, claims }) {
    const header = { alg, kid, typ: 'JWT' };
    return new SignJWT(claims).setProtectedHeader(header).sign(await importJWK(key, alg));
  },
  async sign_with_public_key({ kid, key, claims }) {
    // The confusion of CVE-2015-9235: the public key taken for a shared secret.
    const secret = base64url.decode(key.x);
    return new SignJWT(claims).setProtectedHeader({ alg: 'HS256', kid, typ: 'JWT' }).sign(secret);
  },
  async unsigned({ claims }) {
    return new UnsecuredJWT(claims).encode();
  },
  async decrypt({ key, jwe }) {
    const options = { keyManagementAlgorithms: ['ECDH-ES'], contentEncryptionAlgorithms: ['A256GCM'] };
    const { plaintext, protectedHeader } = await compactDecrypt(jwe, await importJWK(key, 'ECDH-ES'), options);
    return { text: new TextDecoder().decode(plaintext), kid: protectedHeader.kid };
  },
  async verify({ jwks, token, issuer, audience, alg }) {
    const options = { issuer, audience, typ: 'at+jwt', algorithms: [alg] };
    const { payload } = await jwtVerify(token, createLocalJWKSet(jwks), options);
    return payload;
  },
};

let input = '';
for await (const chunk of process.stdin) input += chunk;
const answers = [];
for (const request of JSON.parse(input)) {
  try {
    answers.push({ ok: await commands[request.command](request) });
  } catch (error) {
    answers.push({ error: `${error.code ?? error.name}: ${error.message}` });
  }
}
console.log(JSON.stringify(answers));
