// Verifies a file against a bundle and a public key with @sigstore/verify.
// usage: node verify.mjs FILE BUNDLE PUBLIC_KEY_PEM; exit code 0: verified, 1: refused, 2: wrong usage
import { createHash, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { bundleFromJSON } from '@sigstore/bundle';
import { toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify';

const [file, bundlePath, publicKeyPath] = process.argv.slice(2);
if (!publicKeyPath) {
  console.error('usage: node verify.mjs FILE BUNDLE PUBLIC_KEY_PEM');
  process.exit(2);
}

try {
  const artifact = readFileSync(file);
  const rawBytes = createPublicKey(readFileSync(publicKeyPath)).export({ type: 'spki', format: 'der' });
  const hint = createHash('sha256').update(rawBytes).digest('base64');
  // No authority at all: the pinned key is everything that is trusted.
  const nobody = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
  const trusted = toTrustMaterial(nobody, { [hint]: { rawBytes } });

  const bundle = bundleFromJSON(JSON.parse(readFileSync(bundlePath, 'utf8')));
  const verifier = new Verifier(trusted, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 });
  verifier.verify(toSignedEntity(bundle, artifact));
  console.log('verified');
} catch (error) {
  console.error(`refused: ${error.message}`);
  process.exit(1);
}
