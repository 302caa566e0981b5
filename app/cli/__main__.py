from app.cli.service import main

main()
