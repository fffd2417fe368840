import tailwindcss from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'
import { standIn } from './dev/plugin.ts'

// The policy with which handler.go serves the page. The preview uses it too, and so shows what the policy blocks.
const contentSecurityPolicy =
  "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'none'; frame-ancestors 'none'; " +
  "require-trusted-types-for 'script'"

const server = 'http://127.0.0.1:8000'

// The build inlines no assets, because `default-src 'self'` would block them. Go's embed needs dist/.keep in a fresh
// checkout. A build empties dist and copies the file from public again.
export default defineConfig(({ mode }) => ({
  plugins: [react(), tailwindcss(), mode === 'standin' && standIn()],
  build: {
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
  },
  server: {
    proxy:
      mode === 'standin'
        ? {}
        : Object.fromEntries(
            ['/api', '/agents', '/batches', '/events', '/executions', '/files', '/me', '/usage'].map(
              (path) => [path, server],
            ),
          ),
  },
  preview: {
    headers: {
      'Content-Security-Policy': contentSecurityPolicy,
    },
  },
  test: {
    environment: 'jsdom',
    setupFiles: ['src/test/setup.ts'],
    restoreMocks: true,
    unstubGlobals: true,
    // Tests wait for events, so the limits only end a test that hangs. The defaults of 5 s and 10 s are too short on a
    // busy machine.
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
}))
