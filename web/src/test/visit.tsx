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

/** Sends a POST to the stand-in as another client, and returns the body of the response. */
export async function post(server: StandIn, path: string, body: object): Promise<Record<string, string>> {
  const request = new Request(`http://stand.in${path}`, { method: 'POST', body: JSON.stringify(body) })
  const response = await server.handle(request)
  return (await response.json()) as Record<string, string>
}

export function isPost(request: Request, path: string): boolean {
  return request.method === 'POST' && new URL(request.url).pathname === path
}
