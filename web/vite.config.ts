import tailwindcss from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'
import { standIn } from './dev/plugin.ts'

// The policy under which handler.go serves the page, so that a preview shows what it breaks.
const policy =
  "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'none'; frame-ancestors 'none'; " +
  "require-trusted-types-for 'script'"

const server = 'http://127.0.0.1:8000'

// Without inline assets the page works under `default-src 'self'`. dist/.keep, which Go's embed needs in a
// fresh checkout, survives the emptying of dist because it is a public file.
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
        : { '/api': server, '/agents': server, '/batches': server, '/executions': server },
  },
  preview: {
    headers: {
      'Content-Security-Policy': policy,
    },
  },
  test: { environment: 'jsdom', setupFiles: ['src/test/setup.ts'], restoreMocks: true, unstubGlobals: true },
}))
