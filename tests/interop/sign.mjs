// Makes a key pair, signs a file with @sigstore/sign and writes the bundle and the public key.
// usage: node sign.mjs p256|rsa FILE BUNDLE PUBLIC_KEY_PEM
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { bundleToJSON } from '@sigstore/bundle';
import { MessageSignatureBundleBuilder } from '@sigstore/sign';

const [algorithm, file, bundlePath, publicKeyPath] = process.argv.slice(2);

const keyPairs = {
  p256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  rsa: () => generateKeyPairSync('rsa', { modulusLength: 3072 }),
};
if (!publicKeyPath || !(algorithm in keyPairs)) {
  console.error('usage: node sign.mjs p256|rsa FILE BUNDLE PUBLIC_KEY_PEM');
  process.exit(2);
}
const { privateKey, publicKey } = keyPairs[algorithm]();
const pem = publicKey.export({ type: 'spki', format: 'pem' });
// The hint that cosign writes: SHA-256 of the key as DER, in base64.
const hint = createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64');

const signer = {
  sign: async (data) => ({
    signature: sign('sha256', data, privateKey),
    key: { $case: 'publicKey', hint, publicKey: pem },
  }),
};
const builder = new MessageSignatureBundleBuilder({ signer, witnesses: [] });
const bundle = await builder.create({ data: readFileSync(file) });

writeFileSync(bundlePath, JSON.stringify(bundleToJSON(bundle)));
writeFileSync(publicKeyPath, pem);
