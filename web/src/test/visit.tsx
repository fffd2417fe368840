import { QueryClientProvider } from '@tanstack/react-query'
import { render } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { vi } from 'vitest'
import { StandIn } from '../../dev/standin.ts'
import { App } from '../App.tsx'
import { newQueryClient } from '../queryClient.ts'

export type Intercept = (request: Request) => Response | undefined | Promise<Response | undefined>

/** The whole page at a place, in front of a stand-in that the test drives. */
export function visit(hash: string, server = new StandIn(), first: Intercept = () => undefined) {
  window.location.hash = hash
  const requests: Request[] = []
  let intercept = first
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
    /** Answers in the server's place where it returns a response or throws. */
    intercept: (next: Intercept) => {
      intercept = next
    },
    /** Closes the page; visit again for what a reload shows. */
    unmount,
  }
}

/** A POST to the stand-in from outside the page; returns the body of its answer. */
export async function post(server: StandIn, path: string, body: object): Promise<Record<string, string>> {
  const request = new Request(`http://stand.in${path}`, { method: 'POST', body: JSON.stringify(body) })
  const response = await server.handle(request)
  return (await response.json()) as Record<string, string>
}

export function isPost(request: Request, path: string): boolean {
  return request.method === 'POST' && new URL(request.url).pathname === path
}
