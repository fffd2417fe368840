import type { ReactNode } from 'react'

/** A message of the user. Screen readers do not announce it, because its author knows it. */
export function UserMessage({ text, children }: { text: string; children?: ReactNode }) {
  return (
    <div aria-live="off" className="flex flex-col items-end gap-2">
      <p dir="auto" className="text-verbatim max-w-[85%] rounded-2xl rounded-br-sm bg-soft px-4 py-2.5">
        <span className="sr-only">You: </span>
        {text}
      </p>
      {children}
    </div>
  )
}
