// Statements that are held, by pgjdbc: each line that is printed says what became of one. A line on standard input lets it go on.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Statement;
import java.util.Properties;

public class Holds {
    static void say(String line) {
        System.out.println(line.replace('\n', ' '));
        System.out.flush();
    }

    static Connection connect(String... more) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("password", System.getenv("PGPASSWORD"));
        properties.setProperty("sslmode", "disable");
        for (int at = 0; at < more.length; at += 2) properties.setProperty(more[at], more[at + 1]);
        return DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE"), properties);
    }

    static PreparedStatement delete(Connection connection, int id) throws SQLException {
        PreparedStatement statement = connection.prepareStatement("DELETE FROM tickets WHERE id = ?");
        statement.setInt(1, id);
        return statement;
    }

    static void attempt(PreparedStatement statement) throws SQLException {
        try {
            int count = statement.executeUpdate();
            SQLWarning warning = statement.getWarnings();
            say("ran " + count + " " + (warning == null ? "" : warning.getSQLState()));
        } catch (SQLException error) {
            say("refused " + error.getSQLState() + " " + error.getMessage());
        }
    }

    static void goesOn(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            say("goes on " + statement.execute("SELECT 1"));
        }
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        try (Connection connection = connect()) {
            attempt(delete(connection, 1));
            attempt(delete(connection, 2));
            // As soon as it is told that it waits.
            PreparedStatement cancelled = delete(connection, 2);
            Thread canceller = new Thread(() -> {
                try {
                    while (cancelled.getWarnings() == null) Thread.sleep(10);
                    cancelled.cancel();
                } catch (Exception error) {
                    say("cancel " + error);
                }
            });
            canceller.start();
            attempt(cancelled);
            canceller.join();
            PreparedStatement late = delete(connection, 2);
            late.setQueryTimeout(1);
            attempt(late);
            goesOn(connection);
        }
        try (Connection connection = connect("preferQueryMode", "simple")) {
            attempt(delete(connection, 2));
        }
        try (Connection connection = connect("options", "-c gatepost.approval=async")) {
            attempt(delete(connection, 3));
            input.readLine();
            attempt(delete(connection, 3));
        }
        try (Connection connection = connect("socketTimeout", "1")) {
            attempt(delete(connection, 4));
        }
    }
}
