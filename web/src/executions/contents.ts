import { api, unwrap } from '../api/client.ts'

/** The whole result, as the server stores it. */
export function wholeResult(id: string): Promise<Blob> {
  return unwrap(api.GET('/executions/{id}/result', { params: { path: { id } }, parseAs: 'blob' }))
}

/** A file that an execution left, by its path in the list. */
export function fileContent(id: string, path: string): Promise<Blob> {
  return unwrap(api.GET('/executions/{id}/files/{path}', { params: { path: { id, path } }, parseAs: 'blob' }))
}
