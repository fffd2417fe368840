import { formatBytes } from '../ui/format.ts'

/** The files that a message or run was sent with. */
export function FileChips({ files }: { files: { path: string; size: number }[] | undefined }) {
  if (!files || files.length === 0) {
    return null
  }
  return (
    <ul aria-label="Files" className="flex max-w-[85%] flex-wrap gap-1.5 text-xs">
      {files.map(({ path, size }) => (
        <li key={path} dir="auto" className="text-verbatim rounded-md border border-line px-2 py-1 font-mono">
          {path} <span className="text-muted">{formatBytes(size)}</span>
        </li>
      ))}
    </ul>
  )
}
