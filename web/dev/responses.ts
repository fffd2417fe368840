import type { Problem } from '../src/api/types.ts'

export function found(thing: object | undefined, status = 200): Response {
  return thing ? json(thing, status) : notFound()
}

export function content(text: string | undefined): Response {
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

export function problem(about: Omit<Problem, 'type'>, headers: Record<string, string> = {}): Response {
  return Response.json(
    { type: 'about:blank', ...about },
    { status: about.status, headers: { ...headers, 'Content-Type': 'application/problem+json' } },
  )
}

export function json(body: unknown, status = 200): Response {
  return Response.json(body, { status })
}
