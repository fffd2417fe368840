import { useId, useState, type ReactNode } from 'react'

interface Props {
  /** What is always visible, in one line. */
  summary: ReactNode
  /** What opens. It is rendered only while it is open. */
  children: ReactNode
}

/** A line that opens to more. */
export function Disclosure({ summary, children }: Props) {
  const id = useId()
  const [open, setOpen] = useState(false)
  return (
    <div className={open ? 'my-1 rounded-lg bg-sunken' : ''}>
      <button
        type="button"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        onClick={() => setOpen(!open)}
        className="group flex min-h-9 w-full items-center gap-2 rounded-lg px-2 py-1 text-left hover:bg-sunken"
      >
        <span aria-hidden="true" className={`text-xs text-muted ${open ? 'rotate-90' : ''}`}>
          ▸
        </span>
        {summary}
      </button>
      {open && (
        <div id={id} className="flex flex-col gap-3 px-3 pt-1 pb-3 sm:pl-7">
          {children}
        </div>
      )}
    </div>
  )
}
