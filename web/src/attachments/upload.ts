import { idempotencyKey } from '../api/client.ts'
import { problemOf, UnreachableError } from '../api/problem.ts'
import type { UploadedFile } from '../api/types.ts'
import { currentKey, rejectKey } from '../session/session.ts'

/** The server's limit for one file. */
export const maxFileBytes = 100 * 1024 * 1024

/**
 * Uploads a file. Reports which part of it, from 0 to 1, has been sent. Throws a ProblemError, or an UnreachableError
 * without a response, also when the signal aborts. XMLHttpRequest, because fetch does not report progress.
 */
export function uploadFile(
  file: File,
  onProgress: (part: number) => void,
  signal: AbortSignal,
): Promise<UploadedFile> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    const key = currentKey()
    request.open('POST', `/files?name=${encodeURIComponent(file.name)}`)
    request.setRequestHeader('Accept', 'application/json')
    request.setRequestHeader('Content-Type', file.type || 'application/octet-stream')
    request.setRequestHeader('Idempotency-Key', idempotencyKey())
    if (key !== undefined) {
      request.setRequestHeader('Authorization', `Bearer ${key}`)
    }
    request.upload.onprogress = ({ loaded, total }) => onProgress(total > 0 ? loaded / total : 0)
    request.onload = () => {
      const body = parse(request.responseText)
      if (request.status === 201) {
        resolve(body as UploadedFile)
        return
      }
      const problem = problemOf(body, responseOf(request))
      if (request.status === 401) {
        rejectKey(key, problem.message)
      }
      reject(problem)
    }
    const fail = () => reject(new UnreachableError(undefined))
    request.onerror = fail
    request.onabort = fail
    signal.addEventListener('abort', () => request.abort())
    request.send(file)
  })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function responseOf(request: XMLHttpRequest): Response {
  const retryAfter = request.getResponseHeader('Retry-After')
  return new Response(null, {
    status: request.status,
    statusText: request.statusText,
    headers: retryAfter === null ? {} : { 'Retry-After': retryAfter },
  })
}
