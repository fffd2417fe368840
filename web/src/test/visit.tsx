import { QueryClientProvider } from '@tanstack/react-query'
import { render } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { vi } from 'vitest'
import { StandIn } from '../../dev/standin.ts'
import { App } from '../App.tsx'
import { newQueryClient } from '../queryClient.ts'

export type Intercept = (request: Request) => Response | undefined | Promise<Response | undefined>

/** Renders the whole page at a route, with a stand-in server that the test controls. */
export function visit(hash: string, server = new StandIn(), initial: Intercept = () => undefined) {
  window.location.hash = hash
  const requests: Request[] = []
  let intercept = initial
  vi.stubGlobal('fetch', async (request: Request) => {
    requests.push(request)
    return (await intercept(request)) ?? server.handle(request.clone())
  })
  vi.stubGlobal('XMLHttpRequest', FetchingRequest)
  const client = newQueryClient()
  client.setDefaultOptions({ queries: { ...client.getDefaultOptions().queries, retry: false } })
  const { unmount } = render(
    <QueryClientProvider client={client}>
      <App />
    </QueryClientProvider>,
  )
  return {
    server,
    user: userEvent.setup(),
    requests,
    /** Replaces the intercept: a response that it returns, or an error that it throws, replaces the server's response. */
    intercept: (next: Intercept) => {
      intercept = next
    },
    /** Closes the page. A second visit then shows what a reload shows. */
    unmount,
  }
}

/** Sends what the page sends with XMLHttpRequest through fetch, so that a test sees all requests in the same way. */
class FetchingRequest {
  upload: { onprogress?: (event: { loaded: number; total: number }) => void } = {}
  onload: () => void = () => undefined
  onerror: () => void = () => undefined
  onabort: () => void = () => undefined
  status = 0
  statusText = ''
  responseText = ''
  private response?: Response
  private method = ''
  private url = ''
  private headers = new Headers()

  open(method: string, url: string) {
    this.method = method
    this.url = new URL(url, window.location.origin).href
  }

  setRequestHeader(name: string, value: string) {
    this.headers.set(name, value)
  }

  getResponseHeader(name: string): string | null {
    return this.response?.headers.get(name) ?? null
  }

  abort() {
    this.onabort()
  }

  send(file: File) {
    this.upload.onprogress?.({ loaded: file.size / 2, total: file.size })
    const body = new Uint8Array(file.size) // jsdom's File is none that fetch knows
    void fetch(new Request(this.url, { method: this.method, headers: this.headers, body }))
      .then(async (response) => {
        this.response = response
        this.status = response.status
        this.responseText = await response.text()
        this.onload()
      })
      .catch(() => this.onerror())
  }
}

/** Sends a POST to the stand-in as another client, and returns the body of the response. */
export async function post(server: StandIn, path: string, body: object): Promise<Record<string, string>> {
  const request = new Request(`http://stand.in${path}`, { method: 'POST', body: JSON.stringify(body) })
  const response = await server.handle(request)
  return (await response.json()) as Record<string, string>
}

export function isPost(request: Request, path: string): boolean {
  return request.method === 'POST' && new URL(request.url).pathname === path
}
