/** What the page shows. The URL's fragment holds it, so that reloads and links show the same. */
export type Route =
  | { page: 'new'; agentId?: string }
  | { page: 'conversation'; id: string }
  | { page: 'agent'; id: string }
  | { page: 'new-agent' }
  | { page: 'environment'; id: string }
  | { page: 'environments' }
  | { page: 'new-environment' }
  | { page: 'batch'; id: string }
  | { page: 'batches' }
  | { page: 'execution'; id: string }
  | { page: 'executions' }
  | { page: 'operator' }
  | { page: 'usage' }
  | { page: 'unknown' }

export function parseRoute(hash: string): Route {
  const [first = '', id = '', ...rest] = hash
    .replace(/^#?\/?/, '')
    .split('/')
    .map(decode)
  if (rest.length > 0) {
    return { page: 'unknown' }
  }
  switch (first) {
    case '':
      return { page: 'new' }
    case 'new':
      return id ? { page: 'new', agentId: id } : { page: 'new' }
    case 'c':
      return id ? { page: 'conversation', id } : { page: 'unknown' }
    case 'a':
      return id ? { page: 'agent', id } : { page: 'new-agent' }
    case 'env':
      return id === 'new'
        ? { page: 'new-environment' }
        : id
          ? { page: 'environment', id }
          : { page: 'environments' }
    case 'b':
      return id ? { page: 'batch', id } : { page: 'batches' }
    case 'e':
      return id ? { page: 'execution', id } : { page: 'executions' }
    case 'operator':
      return id ? { page: 'unknown' } : { page: 'operator' }
    case 'usage':
      return id ? { page: 'unknown' } : { page: 'usage' }
    default:
      return { page: 'unknown' }
  }
}

export function hrefOf(route: Route): string {
  switch (route.page) {
    case 'new':
      return route.agentId ? `#/new/${encodeURIComponent(route.agentId)}` : '#/'
    case 'conversation':
      return `#/c/${encodeURIComponent(route.id)}`
    case 'agent':
      return `#/a/${encodeURIComponent(route.id)}`
    case 'new-agent':
      return '#/a'
    case 'environment':
      return `#/env/${encodeURIComponent(route.id)}`
    case 'environments':
      return '#/env'
    case 'new-environment':
      return '#/env/new'
    case 'batch':
      return `#/b/${encodeURIComponent(route.id)}`
    case 'batches':
      return '#/b'
    case 'execution':
      return `#/e/${encodeURIComponent(route.id)}`
    case 'executions':
      return '#/e'
    case 'operator':
      return '#/operator'
    case 'usage':
      return '#/usage'
    case 'unknown':
      return '#/'
  }
}

export function navigate(route: Route): void {
  window.location.hash = hrefOf(route)
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
