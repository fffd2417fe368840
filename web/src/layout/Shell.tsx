import { useEffect, useRef, useState, type ReactNode } from 'react'
import { hrefOf, type Route } from '../route/route.ts'
import { Sidebar } from './Sidebar.tsx'

/** The frame of each page. The sidebar is beside the page, and on a small screen it is a menu over it. */
export function Shell({ route, children }: { route: Route; children: ReactNode }) {
  const href = hrefOf(route)
  // The page on which the menu was opened. Navigation to another page closes it.
  const [openAt, setOpenAt] = useState<string>()
  const open = openAt === href
  const main = useRef<HTMLElement>(null)
  const toggle = useRef<HTMLButtonElement>(null)
  const firstRender = useRef(true)

  useEffect(() => {
    if (!firstRender.current && !main.current?.contains(document.activeElement)) {
      main.current?.focus()
    }
    firstRender.current = false
  }, [href])

  useEffect(() => {
    if (!open) {
      return
    }
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key === 'Escape') {
        setOpenAt(undefined)
        toggle.current?.focus()
      }
    }
    window.addEventListener('keydown', onKeyDown)
    return () => window.removeEventListener('keydown', onKeyDown)
  }, [open])

  return (
    <div className="flex h-dvh">
      <button
        ref={toggle}
        type="button"
        aria-expanded={open}
        aria-controls="sidebar"
        onClick={() => setOpenAt(open ? undefined : href)}
        className="fixed top-2.5 left-3 z-20 grid size-9 place-items-center rounded-lg border border-line bg-surface md:hidden"
      >
        <span className="sr-only">{open ? 'Close the menu' : 'Open the menu'}</span>
        <span aria-hidden="true">{open ? '✕' : '☰'}</span>
      </button>
      <aside
        id="sidebar"
        className={`flex w-72 shrink-0 flex-col border-r border-line bg-sunken max-md:fixed max-md:inset-0 max-md:z-10 max-md:w-full ${open ? '' : 'max-md:hidden'}`}
      >
        <Sidebar route={route} />
      </aside>
      <main ref={main} tabIndex={-1} inert={open} className="flex min-w-0 flex-1 flex-col">
        {children}
      </main>
    </div>
  )
}
