import type { Problem } from '../src/api/types.ts'

export function jsonOrNotFound(body: object | undefined, status = 200): Response {
  return body ? json(body, status) : notFound()
}

export function textOrNotFound(text: string | undefined): Response {
  return text === undefined ? notFound() : new Response(text)
}

export function notFound(): Response {
  return problem({
    status: 404,
    title: 'Not Found',
    code: 'not_found',
    detail: 'There is nothing here by that name.',
  })
}

export function problem(body: Omit<Problem, 'type'>, headers: Record<string, string> = {}): Response {
  return Response.json(
    { type: 'about:blank', ...body },
    { status: body.status, headers: { ...headers, 'Content-Type': 'application/problem+json' } },
  )
}

export function json(body: unknown, status = 200): Response {
  return Response.json(body, { status })
}
