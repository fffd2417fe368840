import { api, unwrap } from '../api/client.ts'

/** Downloads the complete result, as the server stores it. */
export function downloadResult(id: string): Promise<Blob> {
  return unwrap(api.GET('/executions/{id}/result', { params: { path: { id } }, parseAs: 'blob' }))
}

/** Downloads an output file by its path in the list. */
export function downloadFile(id: string, path: string): Promise<Blob> {
  return unwrap(api.GET('/executions/{id}/files/{path}', { params: { path: { id, path } }, parseAs: 'blob' }))
}

/** Downloads the files of the working folder, packed. */
export function downloadWorkspace(id: string): Promise<Blob> {
  return unwrap(api.GET('/executions/{id}/workspace', { params: { path: { id } }, parseAs: 'blob' }))
}

/** Downloads the whole transcript, as far as it is stored. */
export function downloadTranscript(id: string): Promise<Blob> {
  return unwrap(api.GET('/executions/{id}/transcript', { params: { path: { id } }, parseAs: 'blob' }))
}
