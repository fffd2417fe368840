import type { ReactNode } from 'react'
import { FileChips } from '../attachments/FileChips.tsx'

interface Props {
  text: string
  files?: { path: string; size: number }[] | undefined
  children?: ReactNode
}

/** A message of the user. Screen readers do not announce it, because its author knows it. */
export function UserMessage({ text, files, children }: Props) {
  return (
    <div aria-live="off" className="flex flex-col items-end gap-2">
      <p dir="auto" className="text-verbatim max-w-[85%] rounded-2xl rounded-br-sm bg-soft px-4 py-2.5">
        <span className="sr-only">You: </span>
        {text}
      </p>
      <FileChips files={files} />
      {children}
    </div>
  )
}
