import { useEffect, useRef, useState } from 'react'
import { api } from '../api/client.ts'
import { formatBytes } from '../ui/format.ts'
import { maxFileBytes, uploadFile } from './upload.ts'

/** An uploaded file, and the path at which the agent finds it in its folder. */
export interface AttachedFile {
  path: string
  fileId: string
  size: number
}

/** A file that is being uploaded, was uploaded, or could not be. */
export interface Attachment {
  key: number
  file: File
  path: string
  /** The part that has been sent, from 0 to 1. */
  progress: number
  fileId?: string
  error?: Error
}

export interface Attachments {
  items: Attachment[]
  add: (files: Iterable<File>) => void
  remove: (key: number) => void
  retry: (key: number) => void
  /** Returns the files, and begins with none. All must be uploaded. */
  take: () => AttachedFile[]
  /** Attaches files again that take has returned. */
  restore: (files: AttachedFile[]) => void
}

const maxFiles = 100

/** The files of the next message or run. They are uploaded while the user writes. */
export function useAttachments(): Attachments {
  const [items, setItems] = useState<Attachment[]>([])
  const uploads = useRef(new Map<number, AbortController>())
  const lastKey = useRef(0)

  useEffect(() => {
    const running = uploads.current
    return () => running.forEach((upload) => upload.abort())
  }, [])

  function change(key: number, fields: Partial<Attachment>) {
    setItems((all) => all.map((item) => (item.key === key ? { ...item, ...fields } : item)))
  }

  function upload({ key, file }: Attachment) {
    const controller = new AbortController()
    uploads.current.set(key, controller)
    uploadFile(file, (progress) => change(key, { progress }), controller.signal)
      .then(({ id }) => {
        if (controller.signal.aborted) {
          deleteFile(id)
        }
        change(key, { fileId: id, progress: 1 })
      })
      .catch((reason: unknown) => {
        change(key, { error: reason instanceof Error ? reason : new Error(String(reason)) })
      })
      .finally(() => uploads.current.delete(key))
  }

  function add(files: Iterable<File>) {
    const paths = new Set(items.map(({ path }) => path))
    const added: Attachment[] = []
    for (const file of files) {
      const path = freePath(file.name, paths)
      paths.add(path)
      const item = { key: ++lastKey.current, file, path, progress: 0 }
      const reason = refusal(file, items.length + added.length)
      added.push(reason === undefined ? item : { ...item, error: new Error(reason) })
    }
    setItems((all) => [...all, ...added])
    added.filter(({ error }) => error === undefined).forEach(upload)
  }

  function remove(key: number) {
    uploads.current.get(key)?.abort()
    const fileId = items.find((item) => item.key === key)?.fileId
    if (fileId !== undefined) {
      deleteFile(fileId)
    }
    setItems((all) => all.filter((item) => item.key !== key))
  }

  function retry(key: number) {
    const item = items.find((item) => item.key === key)
    if (item) {
      const { file, path } = item
      const again = { key, file, path, progress: 0 }
      setItems((all) => all.map((other) => (other.key === key ? again : other)))
      upload(again)
    }
  }

  function take(): AttachedFile[] {
    const taken = items.flatMap(({ path, fileId, file }) =>
      fileId === undefined ? [] : [{ path, fileId, size: file.size }],
    )
    setItems([])
    return taken
  }

  function restore(files: AttachedFile[]) {
    setItems(
      files.map(({ path, fileId, size }) => ({
        ...{ key: ++lastKey.current, path, fileId, progress: 1 },
        file: Object.defineProperty(new File([], path), 'size', { value: size }),
      })),
    )
  }

  return { items, add, remove, retry, take, restore }
}

/** Reports whether a message with these attachments can be sent. */
export function areUploaded(items: Attachment[]): boolean {
  return items.every(({ fileId }) => fileId !== undefined)
}

function refusal(file: File, before: number): string | undefined {
  if (file.size > maxFileBytes) {
    return `It has ${formatBytes(file.size)}; a file can have ${formatBytes(maxFileBytes)}.`
  }
  return before >= maxFiles ? `There can be ${maxFiles} files.` : undefined
}

/** A name that is not in use: "a.csv", then "a (2).csv". */
function freePath(name: string, used: Set<string>): string {
  const dot = name.lastIndexOf('.') > 0 ? name.lastIndexOf('.') : name.length
  let path = name
  for (let n = 2; used.has(path); n++) {
    path = `${name.slice(0, dot)} (${n})${name.slice(dot)}`
  }
  return path
}

/** Deletes a file that nobody needs. If that fails, it expires. */
function deleteFile(id: string): void {
  void api.DELETE('/files/{id}', { params: { path: { id } } }).catch(() => undefined)
}
